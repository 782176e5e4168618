"""Many run files as many mpiexec runs: on this machine, or inside allocations, through Parsl."""
