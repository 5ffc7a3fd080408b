"""Text on its way to a terminal."""


def visible(line: str) -> str:
    """A line of text in which what cannot be printed is escaped: names that data bring along must not steer a terminal.

    A file can be called "a\\nb.jpg", and a class "\\x1b[2J", which empties the screen.
    """
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
