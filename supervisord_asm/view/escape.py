"""Text from strangers made safe to print: no control characters, one line.

Names of agents are restricted by the configuration, but fault descriptions, log lines and errors
carry what agents wrote. A control character in them could move the cursor, retitle the window or
hide what follows; a bidirectional override could show a line in another order than it is in.
"""


def escaped(text: str) -> str:
    r"""Return `text` with every unprintable character spelled as \xNN, \uNNNN or \UNNNNNNNN.

    A backslash stays as it is: the result is for eyes, not for parsing back.
    """
    if text.isprintable():  # the usual case, and 20 times quicker than looking at each character
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
