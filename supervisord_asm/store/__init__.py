"""What must survive: the journal, one SQLite database, and what reads, checks and copies it.

May import core/ only. Nothing outside this package opens the database or spells its SQL.
"""
