/** Routes of the snapshots that devices which only write leave for their account. */

import { MAX_ENTRY_BYTES } from "../../core/snapshot/device-entry.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import { DelegateParams } from "../../core/wire/delegate-parcels.ts";
import {
  DeviceEntriesQuery,
  DeviceListsAnswer,
  encodeEntries,
  LeaveEntryAnswer,
  LeaveEntryQuery,
  TakenAnswer,
  TakenRequest,
} from "../../core/wire/device-snapshots.ts";
import { HeadOfQuery } from "../../core/wire/heads.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { DeviceSnapshots } from "../device-snapshots/device-snapshots.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { requireOwn } from "./delegates.ts";
import { collect, limited, withBody } from "./request-body.ts";

export function addDeviceSnapshotRoutes(
  server: DaemonServer,
  services: { sessions: Sessions; quotas: AccountQuotas; bodies: BodyPlaces; left: DeviceSnapshots },
): void {
  const { sessions, quotas, bodies, left } = services;
  const onRequest = forAccounts(sessions, quotas);
  const writing = forAccounts(sessions, quotas, "write");
  const params = DelegateParams;

  server.get(
    "/v1/delegates/snapshots",
    { onRequest, schema: { querystring: HeadOfQuery, response: { 200: DeviceListsAnswer } } },
    async (request) => await left.lists(sessionOf(request).account, request.query.of),
  );

  server.get(
    "/v1/delegates/:key/snapshots",
    { onRequest, schema: { params, querystring: DeviceEntriesQuery } },
    async (request, reply) => {
      const { after, of } = request.query;
      const entries = await left.after(sessionOf(request).account, of, request.params.key, Number(after));
      return reply.type(OCTET_STREAM).send(encodeEntries(entries));
    },
  );

  server.get(
    "/v1/delegates/:key/snapshots/last",
    { onRequest: writing, schema: { params } },
    async (request, reply) => {
      const session = sessionOf(request);
      requireOwn(session, request.params.key);
      return reply.type(OCTET_STREAM).send(await left.last(session.account, request.params.key));
    },
  );

  server.put(
    "/v1/delegates/:key/snapshots",
    {
      onRequest: [...writing, bodies.take],
      onSend: bodies.giveBack,
      schema: { params, querystring: LeaveEntryQuery, response: { 200: LeaveEntryAnswer } },
    },
    async (request) => {
      const session = sessionOf(request);
      const { key } = request.params;
      requireOwn(session, key);
      const bytes = await withBody(request, (body) => collect(limited(body, MAX_ENTRY_BYTES)));
      return { position: await left.leave(session.account, key, Number(request.query.releases), bytes) };
    },
  );

  server.post(
    "/v1/delegates/:key/snapshots/taken",
    { onRequest, schema: { params, body: TakenRequest, response: { 200: TakenAnswer } } },
    async (request) => ({
      taken: await left.take(sessionOf(request).account, request.params.key, request.body.through),
    }),
  );
}
