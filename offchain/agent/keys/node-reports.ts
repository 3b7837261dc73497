/** What key nodes answered, for errors: by member, and as text, in which members that answered alike are together. */

/** What one node answered, in an error's `details.nodes` and in reports. */
export interface NodeReport {
  readonly index: number;
  readonly operator: string;
  readonly url: string;
  /** `right`, `not asked`, or the error code of its failure. */
  readonly answer: string;
  readonly message?: string;
}

/** As one line, for `received` of an error. */
export function describeNodes(reports: readonly NodeReport[]): string {
  return alike(reports)
    .map(({ name, answer, reason }) => `${name}: ${reason ?? answer}`)
    .join("; ");
}

/** As lines of their own, with codes. */
export function nodeLines(reports: readonly NodeReport[]): string[] {
  return alike(reports).map(({ name, answer, reason }) => {
    return `${name}: ${answer}${reason === undefined ? "" : `, ${reason}`}`;
  });
}

interface Alike {
  /** Of the one node, or how many they are. */
  readonly name: string;
  readonly answer: string;
  readonly reason: string | undefined;
}

/** Nodes of one answer and reason, in the order of the first of each. */
function alike(reports: readonly NodeReport[]): Alike[] {
  const groups = new Map<string, { readonly nodes: NodeReport[]; readonly reason: string | undefined }>();
  for (const node of reports) {
    // The agent begins what it quotes of a node by the node's name.
    const reason = node.message?.replace(`node ${node.url} `, "");
    const same = JSON.stringify([node.answer, reason]);
    const group = groups.get(same) ?? { nodes: [], reason };
    group.nodes.push(node);
    groups.set(same, group);
  }
  return [...groups.values()].flatMap(({ nodes, reason }) => {
    const [first] = nodes;
    if (first === undefined) return [];
    const members = nodes.map(({ index, url }) => `${index} ${url}`).join(", ");
    const which = nodes.length === reports.length ? "" : ` (${members})`;
    const name = nodes.length === 1 ? `node ${first.index} ${first.url}` : `${nodes.length} key nodes${which}`;
    return [{ name, answer: first.answer, reason }];
  });
}
