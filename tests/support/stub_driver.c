/* A libcuda.so.1 for machines without a GPU: cuInit answers $STUB_CUINIT, and the driver is of CUDA $STUB_VERSION. */
#include <stdlib.h>
#include <string.h>

static int number(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
static int fail(void) { return number("STUB_CUINIT", 0) ? number("STUB_CUINIT", 0) : 999; }
int cuInit(unsigned flags) { return number("STUB_CUINIT", 0); }
int cuDriverGetVersion(int *version) { *version = number("STUB_VERSION", 13000); return 0; }
int cuTensorMapEncodeTiled(void) { return 999; }

int cuGetProcAddress_v2(const char *name, void **found, int version, unsigned long flags, void *status) {
    *found = !strcmp(name, "cuInit") ? (void *)cuInit
        : !strcmp(name, "cuDriverGetVersion") ? (void *)cuDriverGetVersion
        : !strcmp(name, "cuGetProcAddress") ? (void *)cuGetProcAddress_v2 : (void *)fail;
    return 0;
}
int cuGetProcAddress(const char *name, void **found, int version, unsigned long flags) {
    return cuGetProcAddress_v2(name, found, version, flags, 0);
}
