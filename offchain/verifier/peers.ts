/**
 * Asks the other members of a group whether they have checked a proof, so that only some of them do. A member without
 * an address, one that does not answer, and one that has not checked it leave it to this verifier.
 */

import { WatchedDataSetAnswer } from "../core/wire/verifier.ts";
import { HttpParty } from "../http/client.ts";
import type { GroupMember } from "./config.ts";
import { rankingOf } from "./group.ts";
import type { PendingProof } from "./set-records.ts";

const DEADLINE_SECONDS = 3;
/** How long a member that did not answer is not asked again. */
const SILENCE_MILLISECONDS = 30_000;

/** @param now milliseconds that never go back */
export function askPeers(
  members: readonly GroupMember[],
  self: string,
  now: () => number = () => performance.now(),
): (proof: PendingProof) => Promise<boolean> {
  const ids = members.map(({ id }) => id);
  const parties = new Map(
    members.flatMap(({ id, url }) =>
      url === undefined || id === self ? [] : [[id, new HttpParty("verifier", url)] as const],
    ),
  );
  const silentUntil = new Map<string, number>();

  async function hasChecked(id: string, party: HttpParty, { event }: PendingProof): Promise<boolean> {
    if ((silentUntil.get(id) ?? 0) > now()) return false;
    try {
      const path = `/v1/data-sets/${event.id}`;
      const options = { retries: 0, deadlineSeconds: DEADLINE_SECONDS };
      const { epochs } = await party.json("GET", path, WatchedDataSetAnswer, options);
      return epochs.some(
        ({ epoch, transactionHash, check }) =>
          epoch === event.epoch &&
          transactionHash === event.transactionHash &&
          (check === "valid" || check === "invalid"),
      );
    } catch {
      // Whatever kept it from answering, this verifier checks the proof itself.
      silentUntil.set(id, now() + SILENCE_MILLISECONDS);
      return false;
    }
  }

  return async (proof) => {
    const { id: dataSet, epoch } = proof.event;
    const ranking = rankingOf(ids, { dataSet, epoch });
    for (const id of ranking.slice(0, ranking.indexOf(self))) {
      const party = parties.get(id);
      if (party !== undefined && (await hasChecked(id, party, proof))) return true;
    }
    return false;
  };
}
