//! What the driver's library says about this machine, through the few functions of the CUDA driver API that tell it.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{Failure, code};

/// CUDA 13.0, which the prover is compiled with, as `cuDriverGetVersion` counts.
const DRIVER_VERSION_MIN: c_int = 13_000;
const CAPABILITY_MIN: (c_int, c_int) = (8, 0);
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `…_MINOR` of cuda.h.
const CAPABILITY_ATTRIBUTES: (c_int, c_int) = (75, 76);

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type GetNumber = unsafe extern "C" fn(*mut c_int) -> c_int;
type GetAttribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
type GetErrorName = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// Fails unless `library` can be loaded and the first GPU that it sees can run the prover.
pub fn check(library: &Path) -> Result<(), Failure> {
    let driver = Driver::load(library)?;
    let mut version = 0;
    // SAFETY: the types are cuda.h's; every pointer outlives its call.
    driver.call("cuDriverGetVersion", |function| unsafe {
        std::mem::transmute::<*mut c_void, GetNumber>(function)(&mut version)
    })?;
    if version < DRIVER_VERSION_MIN {
        return Err(no_gpu(format!(
            "the NVIDIA driver is for CUDA {}.{}, and this image needs one for CUDA 13.0: driver 580 or later",
            version / 1000,
            version % 1000 / 10
        )));
    }
    driver.call("cuInit", |function| unsafe { std::mem::transmute::<*mut c_void, Init>(function)(0) })?;
    let mut devices = 0;
    driver.call("cuDeviceGetCount", |function| unsafe {
        std::mem::transmute::<*mut c_void, GetNumber>(function)(&mut devices)
    })?;
    if devices == 0 {
        return Err(no_gpu("the NVIDIA driver is here, but no GPU is assigned to this task".into()));
    }
    let capability = (driver.attribute(CAPABILITY_ATTRIBUTES.0)?, driver.attribute(CAPABILITY_ATTRIBUTES.1)?);
    if capability < CAPABILITY_MIN {
        return Err(no_gpu(format!(
            "the GPU has compute capability {}.{}, and this image needs {}.{}: Ampere or later",
            capability.0, capability.1, CAPABILITY_MIN.0, CAPABILITY_MIN.1
        )));
    }
    Ok(())
}

fn no_gpu(sentence: String) -> Failure {
    Failure { code: code::NO_GPU, sentence }
}

struct Driver {
    handle: *mut c_void,
}

impl Driver {
    fn load(library: &Path) -> Result<Self, Failure> {
        let path = CString::new(library.as_os_str().as_bytes()).expect("a path found on disk has no NUL");
        // SAFETY: a valid C string. Loading runs the library's initialisers, which is what it is there for.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            // SAFETY: after a failed dlopen, dlerror gives a string that is valid until the next call.
            let reason = unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned();
            return Err(Failure {
                code: code::NO_DRIVER,
                sentence: format!("the NVIDIA driver's library can't be loaded: {reason}"),
            });
        }
        Ok(Self { handle })
    }

    /// Call a function of the driver, which returns 0 or an error of the driver.
    fn call(&self, name: &str, call: impl FnOnce(*mut c_void) -> c_int) -> Result<(), Failure> {
        let function = self.function(name).ok_or_else(|| Failure {
            code: code::NO_DRIVER,
            sentence: format!("the NVIDIA driver's library has no {name}: it is damaged or something else"),
        })?;
        match call(function) {
            0 => Ok(()),
            error => Err(no_gpu(format!("the GPU can't be used: {name} says {}", self.name_of(error)))),
        }
    }

    fn function(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).expect("a name without NUL");
        // SAFETY: a handle of dlopen and a valid C string.
        let function = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        (!function.is_null()).then_some(function)
    }

    /// Of the first device.
    fn attribute(&self, attribute: c_int) -> Result<c_int, Failure> {
        let mut value = 0;
        // SAFETY: the type is cuda.h's; the pointer outlives the call.
        self.call("cuDeviceGetAttribute", |function| unsafe {
            std::mem::transmute::<*mut c_void, GetAttribute>(function)(&mut value, attribute, 0)
        })?;
        Ok(value)
    }

    fn name_of(&self, error: c_int) -> String {
        let mut name = std::ptr::null();
        if let Some(function) = self.function("cuGetErrorName") {
            // SAFETY: the type is cuda.h's; the name that it gives is a constant.
            unsafe { std::mem::transmute::<*mut c_void, GetErrorName>(function)(error, &mut name) };
        }
        if name.is_null() {
            return format!("error {error}");
        }
        // SAFETY: not null, so a constant C string of the driver.
        format!("{} ({error})", unsafe { CStr::from_ptr(name) }.to_string_lossy())
    }
}
