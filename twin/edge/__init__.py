"""gRPC servicers: they translate and nothing else."""
