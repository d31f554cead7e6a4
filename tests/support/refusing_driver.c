/* A libcuda.so.1 for machines without a GPU: it says what VERSION, DEVICES and CAPABILITY are defined to, and refuses all
 * work. What a prover does with a driver that refuses can be tried with it, and nothing else. */
enum { SUCCESS = 0, DEVICE_UNAVAILABLE = 46, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

int cuInit(unsigned flags) { return SUCCESS; }
int cuDriverGetVersion(int *version) { *version = VERSION; return SUCCESS; }
int cuDeviceGetCount(int *count) { *count = DEVICES; return SUCCESS; }
int cuGetErrorName(int error, const char **name) { *name = "CUDA_ERROR_DEVICE_UNAVAILABLE"; return SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (attribute == CAPABILITY_MAJOR) *value = CAPABILITY / 10;
    else if (attribute == CAPABILITY_MINOR) *value = CAPABILITY % 10;
    else return DEVICE_UNAVAILABLE;
    return SUCCESS;
}

#define REFUSES(name) int name(void) { return DEVICE_UNAVAILABLE; }
REFUSES(cuDeviceGet)
REFUSES(cuMemAddressFree)
REFUSES(cuMemAddressReserve)
REFUSES(cuMemCreate)
REFUSES(cuMemGetAllocationGranularity)
REFUSES(cuMemMap)
REFUSES(cuMemRelease)
REFUSES(cuMemSetAccess)
REFUSES(cuMemUnmap)
