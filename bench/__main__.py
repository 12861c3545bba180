"""`python -m bench` and the `bench` console command."""

from bench.cli import main

if __name__ == "__main__":
    main()
