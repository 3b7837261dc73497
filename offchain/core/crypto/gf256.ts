/**
 * Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 §4.2). Operands are secret: no table is indexed with
 * them and no branch depends on them, so the time taken says nothing about them. Addition and subtraction are both XOR.
 */

/** The reduction polynomial without its x^8 term. */
const REDUCTION = 0x1b;

/** a · b; both 0 … 255. */
export function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = a;
  for (let bit = 0; bit < 8; bit += 1) {
    product ^= shifted & -((b >> bit) & 1);
    shifted = ((shifted << 1) & 0xff) ^ (REDUCTION & -(shifted >> 7));
  }
  return product;
}

/** 1/a as a^254 (Fermat); 0 for 0. */
export function invert(a: number): number {
  // 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128
  let power = multiply(a, a);
  let inverse = power;
  for (let bit = 2; bit < 8; bit += 1) {
    power = multiply(power, power);
    inverse = multiply(inverse, power);
  }
  return inverse;
}

/** target ← target + factor · source, element by element; both of the same length. */
export function addMultiple(target: Uint8Array, factor: number, source: Uint8Array): void {
  for (const [position, byte] of source.entries()) {
    target[position] = (target[position] ?? 0) ^ multiply(byte, factor);
  }
}
