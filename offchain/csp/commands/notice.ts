/** `tallystick-csp notice`: ends a data set after the notice period. */

import { readBooks, readSchedule } from "../../chain/escrow.ts";
import { noticeCall } from "../../chain/escrow-calls.ts";
import { readOpened } from "../../chain/escrow-events.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { operatorCommand } from "../../daemon/operator-command.ts";
import type { CspConfig } from "../config.ts";

const ID = /^0x[0-9a-fA-F]{64}$/;

export const noticeCommand = operatorCommand<CspConfig>({
  kind: "csp",
  contracts: ["storageEscrow"],
  name: "notice",
  description: "end a data set after the notice period; the daemon goes on proving it until then",
  arguments: [["<data-set>", "id of the data set, as the log and the escrow name it"]],
  options: [],
  example: `notice --config csp.json 0x${"3f9ac2d1".repeat(8)}`,
  act: async (operator, _, __, [text = ""]) => {
    if (!ID.test(text)) {
      throw new InvalidInputError("this is not the id of a data set", {
        check: "data set",
        expected: "0x and 64 hexadecimal digits",
        received: text,
      });
    }
    const id = text.toLowerCase();
    const { chain, account } = operator;
    const scheduled = await readSchedule(chain, id, undefined);
    const opened = scheduled && (await readOpened(chain, id));
    if (scheduled === undefined || opened === undefined) throw notOurs(id, "none with this id");
    if (!isAddressEqual(opened.terms.provider, account)) throw notOurs(id, `one of provider ${opened.terms.provider}`);
    const sent = await operator.send(noticeCall(chain.deployment, { terms: opened.terms, ...scheduled }));
    const lastEpoch = (await readBooks(chain, id, sent.blockNumber))?.noticedEnd;
    return {
      facts: { id, lastEpoch, ...sent },
      text: `data set ${id} ends after epoch ${lastEpoch}; leave the daemon running until then`,
    };
  },
});

function notOurs(id: string, received: string): TallystickError {
  return new TallystickError("this provider has no such data set", {
    code: "NOT_FOUND",
    party: "you",
    check: "data set",
    expected: `${id}, of this provider`,
    received,
  });
}
