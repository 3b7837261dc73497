/** Loaded before every test file: how many cases a property has that does not say so itself. */
import fc from "fast-check";

const runs = process.env.TALLYSTICK_TEST_PROPERTY_RUNS;
if (runs !== undefined) fc.configureGlobal({ numRuns: Number(runs) });
