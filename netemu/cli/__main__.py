"""`python -m netemu.cli`: the same as `netemu`."""

from netemu.cli.main import main

if __name__ == "__main__":
    main()
