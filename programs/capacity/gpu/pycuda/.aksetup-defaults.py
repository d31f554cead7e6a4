# What the configuration of PyCUDA's own setup would be; it is only asked for the name and version here.
CUDA_ENABLE_CURAND = False
