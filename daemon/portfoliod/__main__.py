"""`python -m portfoliod`."""

from portfoliod.cli import main

if __name__ == "__main__":
    main()
