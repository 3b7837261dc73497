/** How a run ends at this node without a result. */

/** A run that cannot end at this node. */
export class RunOver extends Error {}

export function reorganised(): RunOver {
  return new RunOver("the chain was reorganised: the generation of this number is another one now");
}

export function otherKeys(): RunOver {
  return new RunOver("the generation became active with keys that this node has no shares of");
}
