/**
 * One-time set-up of the possession audit: mcl-wasm and the field kernel are compiled asynchronously, everything after
 * that is synchronous.
 */
import { type FieldKernel, loadFieldKernel } from "../../kernels/field.ts";
import { loadCurve } from "./curve.ts";

let kernel: FieldKernel | undefined;

/** Loads the curve library and the field kernel, once per process. Await it before any other call of this folder. */
export async function auditReady(): Promise<void> {
  const [loaded] = await Promise.all([loadFieldKernel(), loadCurve()]);
  kernel = loaded;
}

/** The compiled field kernel. @throws Error before `auditReady` */
export function fieldKernel(): FieldKernel {
  if (kernel === undefined) throw new Error("call `await auditReady()` before using the possession audit");
  return kernel;
}
