"""How the tests start Java programs: the modules opened that engines reach into, little memory, logs on stdout."""

import pathlib
from collections.abc import Sequence

# Java 17 closed what Flink 1.19, Spark 3.5 and their serialisers reach into.
_OPENED_PACKAGES = (
    "java.io",
    "java.lang",
    "java.lang.reflect",
    "java.math",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)

_LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


def java_program(
    java: str, class_path: Sequence[pathlib.Path], folder: pathlib.Path, *, heap: str = "512m"
) -> list[str]:
    """The command line of a Java program, less its main class and arguments.

    Args:
        java: the program, version 11 or 17.
        class_path: jars, in this order.
        folder: has tmp/, for temporary files; settings for log4j are written to it.
        heap: the most its objects may take.
    """
    settings = folder / "log4j.properties"
    settings.write_text(_LOG4J)
    return [
        java,
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED_PACKAGES),
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j.configurationFile={settings}",
        "-cp",
        ":".join(map(str, class_path)),
    ]
