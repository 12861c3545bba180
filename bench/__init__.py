"""transfer-bench: which way of transferring a pretrained model should I use, and what does it cost?"""

__version__ = "0.1.0"
