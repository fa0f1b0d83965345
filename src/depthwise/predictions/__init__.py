"""What a classifier says about many files: the files one after the other, rows of results, and tables that they are written to.

One process and a cluster read, compute and write with the same code, so that their results are the same bits.
"""
