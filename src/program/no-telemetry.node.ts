// ONNX Runtime's native library sends usage data when its package is loaded without this variable. It is switched off
// before the library is loaded, unless the user has set the variable to something else. The environment of a worker
// thread is a copy that native code does not see, so whoever starts a worker imports this module too.
process.env.ORT_DISABLE_TELEMETRY ??= "1";
