/**
 * The size of slices for a new data set. A proof costs about as much for each index of the set (W) as for each element
 * of a slice (ψ), see docs/audit.md: it is cheapest when a set has as many slices as a slice has elements.
 */

import { DEFAULT_SLICE_ELEMENTS, ELEMENT_BYTES, sliceBytes } from "../../core/audit/field.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";

/**
 * The offered size that is nearest, by ratio, to the best for a set of so many bytes, among those with which the set
 * fits the provider's highest index; the largest one when it fits with none.
 * @param expectedBytes what the set may grow to; undefined for one that the default size suits
 * @returns elements of a slice
 * @throws InvalidInputError unless a number of bytes is above zero
 */
export function sliceElementsFor(
  { sliceElements, maximumIndex }: Pick<DataSetOffer, "sliceElements" | "maximumIndex">,
  expectedBytes?: number,
): number {
  if (expectedBytes !== undefined && !(Number.isSafeInteger(expectedBytes) && expectedBytes > 0)) {
    throw new InvalidInputError("the expected size of the data set is no number of bytes", {
      party: "you",
      check: "expected bytes",
      received: String(expectedBytes),
    });
  }
  const best = expectedBytes === undefined ? DEFAULT_SLICE_ELEMENTS : Math.sqrt(expectedBytes / ELEMENT_BYTES);
  const fits = (elements: number) => sliceBytes(elements) * maximumIndex >= (expectedBytes ?? 0);
  const distance = (elements: number) => Math.abs(Math.log(elements / best));
  const [nearest] = sliceElements.filter(fits).sort((a, b) => distance(a) - distance(b));
  return nearest ?? Math.max(...sliceElements);
}
