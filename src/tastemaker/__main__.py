"""`python -m tastemaker`: the command line."""

from tastemaker.cli.main import main

if __name__ == "__main__":
    main()
