"""`python -m tallymq.cli`, for where the program is not on the path."""

from tallymq.cli import main

if __name__ == "__main__":
    main()
