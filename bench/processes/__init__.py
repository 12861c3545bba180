"""Processes of this machine: worker protocol, local children, pools, signals, threads, memory."""
