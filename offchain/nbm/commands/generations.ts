/**
 * `tallystick-nbm refresh`, `reshare` and `replace`: how the members of a committee give it a next generation. Each
 * command is this node's proposal. The operators of as many members as the threshold says run the same command; then
 * the daemons do the rest.
 */

import {
  type Committee,
  proposeGenerationCall,
  readCommittee,
  readCommitteeState,
  readProposers,
} from "../../chain/registry.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import { type CommandResult, type Operator, operatorCommand } from "../../daemon/operator-command.ts";
import type { NbmConfig } from "../config.ts";

const COMMITTEE_ARGUMENT = ["<committee>", "number of the committee"] as const;
const common = { kind: "nbm", contracts: ["nodeRegistry", "keyLedger"] } as const;

export const refreshCommand = operatorCommand<NbmConfig>({
  ...common,
  name: "refresh",
  description: "propose new shares of the committee's keys for the same members: shares stolen before become useless",
  arguments: [COMMITTEE_ARGUMENT],
  options: [],
  example: "refresh --config nbm.json 1",
  act: async (operator, _config, _options, [committee]) => {
    const current = await activeGeneration(operator, readNumber(committee, "committee"));
    return await propose(operator, current, operatorsOf(current), current.threshold);
  },
});

export const reshareCommand = operatorCommand<NbmConfig>({
  ...common,
  name: "reshare",
  description: "propose other members or another threshold for the committee; its keys stay the same",
  arguments: [COMMITTEE_ARGUMENT],
  options: [
    ["--members <accounts>", "operators of all new members in the order of their indices, separated by commas"],
    ["--threshold <k>", "how many of them use the keys (default: as now)"],
  ],
  example: "reshare --config nbm.json 1 --members 0x…,0x…,0x… --threshold 2",
  act: async (operator, _config, options, [committee]) => {
    const current = await activeGeneration(operator, readNumber(committee, "committee"));
    const members =
      options.members === undefined
        ? operatorsOf(current)
        : String(options.members)
            .split(",")
            .map((member) => checksumAddress(member.trim(), "--members"));
    const threshold =
      options.threshold === undefined
        ? current.threshold
        : Number(readNumber(String(options.threshold), "--threshold"));
    return await propose(operator, current, members, threshold);
  },
});

export const replaceCommand = operatorCommand<NbmConfig>({
  ...common,
  name: "replace",
  description: "propose that another node takes the place of a member, or the same one, which has lost its disk",
  arguments: [
    COMMITTEE_ARGUMENT,
    ["<member>", "operator of the member that goes"],
    ["<node>", "operator of the node that takes its place"],
  ],
  options: [],
  example: "replace --config nbm.json 1 0x… 0x…",
  act: async (operator, _config, _options, [committee, from = "", to = ""]) => {
    const current = await activeGeneration(operator, readNumber(committee, "committee"));
    const [gone, next] = [checksumAddress(from, "member"), checksumAddress(to, "node")];
    if (!current.members.some((member) => isAddressEqual(member.operator, gone))) {
      throw new InvalidInputError(`${gone} is no member of committee ${current.id}`, {
        check: "member",
        expected: operatorsOf(current).join(", "),
        received: gone,
      });
    }
    const members = operatorsOf(current).map((member) => (isAddressEqual(member, gone) ? next : member));
    return await propose(operator, current, members, current.threshold);
  },
});

async function propose(
  operator: Operator,
  current: Committee,
  members: readonly string[],
  threshold: number,
): Promise<CommandResult> {
  const { chain } = operator;
  const { id } = current;
  const { latest } = await readCommitteeState(chain, id);
  const forming = await readCommittee(chain, id, latest);
  const isSame = forming.threshold === threshold && String(operatorsOf(forming)) === String(members);
  if (forming.status === "forming" && isSame) {
    const facts = { committee: id, generation: latest, isOpen: true };
    return { facts, text: `generation ${latest} of committee ${id} with these members is forming already` };
  }
  const generation = latest + 1;
  const sent = await operator.send(proposeGenerationCall(chain.deployment, id, generation, members, threshold));
  const turn = { active: current.generation, generation };
  const proposers = await readProposers(chain, id, turn, members, threshold, sent.blockNumber);
  const isOpen = proposers >= current.threshold;
  const facts = {
    committee: id,
    generation,
    proposers,
    needed: current.threshold,
    isOpen,
    members,
    threshold,
    ...sent,
  };
  const agreed = `${proposers} of ${current.threshold} members that are needed propose generation ${generation}`;
  const next = isOpen ? "it is forming now" : "the operators of others run the same command";
  return { facts, text: `${agreed} of committee ${id}; ${next}` };
}

async function activeGeneration({ chain }: Operator, id: bigint): Promise<Committee> {
  const { active } = await readCommitteeState(chain, id);
  if (active > 0) return await readCommittee(chain, id, active);
  throw new TallystickError(`committee ${id} has no keys yet`, {
    code: "CONFLICT",
    party: "you",
    check: "active generation",
    hint: "create another committee if its key generation has failed",
  });
}

function operatorsOf({ members }: Committee): string[] {
  return members.map(({ operator }) => operator);
}

function readNumber(text: string | undefined, name: string): bigint {
  if (text !== undefined && /^[1-9][0-9]{0,17}$/.test(text)) return BigInt(text);
  throw new InvalidInputError(`the ${name} is not a number from 1 on`, {
    check: name,
    received: text ?? "nothing",
    hint: "--help shows an example",
  });
}
