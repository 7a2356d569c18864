"""Pure renderers: values of core/ in, text or JSON out. One file per thing that people look at.

Nothing here opens, reads a clock or knows who asks. The formats are the guide's
(../shared/seeds/002-asm-user-guide.txt) and its examples are golden files in tests/golden; what is
shown beyond the guide comes after it, and only where there is something to show, so that a system
with nothing unusual prints exactly what the guide prints.
"""
