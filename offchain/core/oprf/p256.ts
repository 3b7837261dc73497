/** Threshold VOPRF of RFC 9497 §4.3, P-256 and SHA-256, on noble. */

import { p256Group } from "./p256-group.ts";
import { createVoprfSuite } from "./voprf.ts";

export const p256Suite = createVoprfSuite(p256Group);
