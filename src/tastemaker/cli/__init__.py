"""The command line: arguments in, words out. Nothing heavy is imported before a command needs it."""
