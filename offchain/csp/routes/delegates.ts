/** Routes of what an account leaves for its delegates. */
import { readDelegation } from "../../chain/delegates.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { PARCEL_BYTES } from "../../core/identity/delegate-secrets.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import { DelegateParams, ParcelAnswer } from "../../core/wire/delegate-parcels.ts";
import { outOfScope } from "../../daemon/delegates.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Session, type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { DelegateIndex } from "../../store/index/delegate-index.ts";
import { notPrepared } from "../device-snapshots/device-snapshots.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { collect, limited, withBody } from "./request-body.ts";

export interface DelegateServices {
  readonly chain: ChainReader;
  readonly sessions: Sessions;
  readonly quotas: AccountQuotas;
  readonly bodies: BodyPlaces;
  readonly delegates: DelegateIndex;
}

export function addDelegateRoutes(server: DaemonServer, services: DelegateServices): void {
  const { chain, sessions, quotas, bodies, delegates } = services;
  const onRequest = forAccounts(sessions, quotas);
  const writing = forAccounts(sessions, quotas, "write");
  const schema = { params: DelegateParams };

  server.get("/v1/delegates/:key/parcel", { onRequest: writing, schema }, async (request, reply) => {
    const { key } = request.params;
    const session = sessionOf(request);
    requireOwn(session, key);
    const sealed = await delegates.parcel(session.account, key);
    if (sealed === undefined) throw notPrepared(key);
    return reply.type(OCTET_STREAM).send(sealed);
  });

  server.put(
    "/v1/delegates/:key/parcel",
    {
      onRequest: [...onRequest, bodies.take],
      onSend: bodies.giveBack,
      schema: { ...schema, response: { 200: ParcelAnswer } },
    },
    async (request) => {
      const { key } = request.params;
      const { account } = sessionOf(request);
      const sealed = await withBody(request, (body) => collect(limited(body, PARCEL_BYTES)));
      if (sealed.length !== PARCEL_BYTES) throw wrongLength(sealed.length);
      // Each costs a transaction, so an account has no more parcels than it has paid for.
      await requireDelegate(chain, account, key);
      await quotas.requireDisk();
      await delegates.setParcel(account, key, sealed);
      return { key };
    },
  );
}

/** A delegate reaches what is its own. */
export function requireOwn({ delegation }: Session, key: string): void {
  if (delegation === undefined || isAddressEqual(delegation.key, key)) return;
  throw outOfScope(delegation, "delegate", delegation.key, key);
}

/** @throws TallystickError NOT_DELEGATED for a key that is no delegate of the account, or may not write */
async function requireDelegate(chain: ChainReader, account: string, key: string): Promise<void> {
  const found = await readDelegation(chain, key);
  const isOurs = found !== undefined && isAddressEqual(found.account, account);
  if (isOurs && found.scopes.includes("write") && !found.isRevoked) return;
  throw new TallystickError(`${key} is no delegate of account ${account} that may write`, {
    code: "NOT_DELEGATED",
    party: "client",
    check: "delegation",
    expected: `a delegate of ${account} with the scope write`,
    received: isOurs ? (found.isRevoked ? "revoked" : found.scopes.join(" and ")) : "none of this account",
    hint: "grant the request of the device first",
  });
}

function wrongLength(received: number): InvalidInputError {
  return new InvalidInputError("the parcel has the wrong length", {
    party: "client",
    check: "length of the parcel",
    expected: `${PARCEL_BYTES} bytes`,
    received: `${received} bytes`,
  });
}
