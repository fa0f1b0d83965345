"""From text LLVM IR to running code: machine code in memory, the compile cache on disk, and the team of threads.

Nothing here knows what a network is. llvmlite is imported by the first call that needs it, never by importing this
package.
"""
