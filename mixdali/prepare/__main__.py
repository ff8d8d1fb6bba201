"""`python -m mixdali.prepare`."""

from mixdali.prepare import main

if __name__ == "__main__":  # the processes that it starts import this file, too
    main()
