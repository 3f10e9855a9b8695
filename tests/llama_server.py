"""`python llama_server.py MODEL PORT`: llama.cpp's own HTTP server in the foreground; prints its address."""

import signal
import sys

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.hostnames = ["127.0.0.1"]
parameters.port = int(sys.argv[2])
parameters.n_ctx = 2048
parameters.n_parallel = 2
parameters.cpuparams.n_threads = 1  # more wait for each other in a loop, which a busy machine punishes
parameters.endpoint_metrics = True
parameters.endpoint_slots = True
parameters.cpuparams_batch.n_threads = 1
parameters.warmup = False
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
signal.pause()
