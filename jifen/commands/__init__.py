"""The subcommands of `jifen`, one module for each group.

Each module has `add_to(commands)`, which describes its part of the command line, and functions
`(arguments, settings) -> exit status`. What a command needs is imported when it runs, so that
`jifen --help` is quick.
"""
