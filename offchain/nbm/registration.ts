/**
 * The node's standing on chain: registers it with its stake, keeps URL and HPKE key up to date, and creates the
 * committee that the configuration names once all its members are there.
 */

import { equalBytes } from "#primitives";
import type { ChainReader } from "../chain/deployment.ts";
import { createCommitteeCall, readCommittee, readNode, registerNodeCall, updateNodeCall } from "../chain/registry.ts";
import { wasSlashed } from "../chain/registry-events.ts";
import type { TransactionSender } from "../chain/sender.ts";
import { FIRST_GENERATION } from "../core/committee/key-id.ts";
import { TallystickError } from "../core/errors.ts";
import { checksumAddress } from "../daemon/account-signature.ts";
import type { Logger } from "../daemon/logger.ts";
import type { NbmConfig } from "./config.ts";
import { noteExit, requireNoExit } from "./exit-note.ts";
import type { Namings } from "./generations/namings.ts";

export interface RegistrationOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly config: NbmConfig;
  readonly hpkePublicKey: Uint8Array;
  readonly logger: Logger;
}

export interface FormationOptions extends RegistrationOptions {
  readonly namings: Pick<Namings, "catchUp" | "committeesFirstWith">;
}

/**
 * Registers the node, or brings its entry up to date.
 *
 * @param url where others reach it.
 * @throws TallystickError NOT_FOUND when it is not registered and the configuration does not allow it to do so itself;
 *   CONFLICT when it has left, or was slashed.
 */
export async function ensureRegistered(options: RegistrationOptions, url: string): Promise<void> {
  const { chain, sender, config, hpkePublicKey, logger } = options;
  const operator = sender.address;
  const node = await readNode(chain, operator);
  if (node === undefined) {
    if (config.autoRegister === undefined) {
      throw new TallystickError(`node ${operator} is not registered`, {
        code: "NOT_FOUND",
        party: "this node",
        check: "registration",
        hint: "register it, or set autoRegister with the stake in the configuration",
      });
    }
    requireNoExit(config.dataDir, operator);
    if (await wasSlashed(chain, operator)) throw slashed(operator);
    const { stakeWei } = config.autoRegister;
    const receipt = await sender.send(registerNodeCall(chain.deployment, { url, hpkePublicKey, stakeWei }));
    logger.info({ operator, url, stakeWei: String(stakeWei), transaction: receipt.hash }, "registered");
  } else if (node.exitAt !== 0) {
    // Also when another program than this one's commands asked for it.
    noteExit(config.dataDir, operator);
    logger.warn({ operator, exitAt: node.exitAt }, "the node has asked to leave: it serves, but joins nothing new");
  } else if (node.url !== url || !equalBytes(node.hpkePublicKey, hpkePublicKey)) {
    const receipt = await sender.send(updateNodeCall(chain.deployment, { url, hpkePublicKey }));
    logger.info({ operator, url, transaction: receipt.hash }, "registration updated");
  }
}

/** Other wrong answers may be signed with the same key, and each could take the next stake. */
function slashed(operator: string): TallystickError {
  return new TallystickError(`node ${operator} lost its stake for a wrong answer that it signed`, {
    code: "CONFLICT",
    party: "this node",
    check: "registration",
    expected: "an operator that was never slashed",
    received: operator,
    hint: "find the fault of this machine first; then set up a node with a new keystore",
  });
}

/**
 * Creates the configured committee when all its members are registered and there is none like it.
 * @returns true when it exists.
 */
async function formCommittee(options: FormationOptions): Promise<boolean> {
  const { chain, sender, config, logger } = options;
  if (config.formCommittee === undefined) return true;
  const { threshold } = config.formCommittee;
  const members = config.formCommittee.members.map((member) => checksumAddress(member, "committee member"));
  // Who creates a committee is a member of its first generation. Later ones may have others.
  await options.namings.catchUp();
  for (const id of options.namings.committeesFirstWith()) {
    const first = await readCommittee(chain, id, FIRST_GENERATION);
    const same = first.members.every(({ operator }, position) => operator === members[position]);
    const isOver = first.status === "expired" || first.status === "abandoned";
    if (same && !isOver && first.size === members.length && first.threshold === threshold) return true;
  }
  const nodes = await Promise.all(members.map((member) => readNode(chain, member)));
  if (nodes.some((node) => node === undefined || node.exitAt !== 0)) return false;
  const receipt = await sender.send(createCommitteeCall(chain.deployment, members, threshold));
  logger.info({ members, threshold, transaction: receipt.hash }, "committee created");
  return true;
}

/** A step that forms the configured committee as soon as that is possible, and does nothing from then on. */
export function committeeFormer(options: FormationOptions): () => Promise<void> {
  let formed = false;
  return async () => {
    if (formed) return;
    formed = await formCommittee(options);
  };
}
