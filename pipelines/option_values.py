"""The values of a run's pipeline options, for what is set up without Apache Beam."""

import itertools
from collections.abc import Sequence


def option_values(options: Sequence[str], prefix: str) -> dict[str, str]:
    """Values of the options that begin with a prefix, by the rest of their names.

    Args:
        options: as on a command line, `--NAME=VALUE` or in two words; there may be none.
        prefix: such as "--s3_".
    """
    found: dict[str, str] = {}
    for option, following in itertools.pairwise([*options, ""]):
        name, equals, value = option.partition("=")
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = value if equals else following
    return found
