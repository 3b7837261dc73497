/** Routes of chunks and ownership claims. */

import { digestOf } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  ChunkParams,
  ClaimAnswer,
  ClaimOutcome,
  ClaimParams,
  ClaimProofRequest,
  ClaimRequest,
  InspectAnswer,
  InspectRequest,
  KeepAnswer,
  KeepRequest,
  OCTET_STREAM,
  ReleaseAnswer,
  ReleaseRequest,
  StoreChunksAnswer,
  UsageAnswer,
} from "../../core/wire/csp.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { ChunkIndex } from "../../store/index/chunk-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import type { ClaimService } from "../chunks/claims.ts";
import { takeDownloadMemory } from "../chunks/download-memory.ts";
import type { UnpaidAccounts } from "../chunks/unpaid.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { withFrames } from "./request-body.ts";

/** Time for 32 MiB on a slow line. */
const UPLOAD_MILLISECONDS = 600_000;

export function addChunkRoutes(
  server: DaemonServer,
  services: {
    sessions: Sessions;
    quotas: AccountQuotas;
    bodies: BodyPlaces;
    chunks: ChunkService;
    claims: ClaimService;
    unpaid: Pick<UnpaidAccounts, "expiryOf">;
    index: Pick<ProviderIndex, "heads"> & { chunks: Pick<ChunkIndex, "noteRelease" | "keep" | "usageOf"> };
  },
): void {
  const { sessions, quotas, bodies, chunks, claims, unpaid, index } = services;
  const reading = forAccounts(sessions, quotas, "read");
  const writing = forAccounts(sessions, quotas, "write");
  const either = forAccounts(sessions, quotas, "read", "write");
  const withPlace = { onRequest: [...writing, bodies.take], onSend: bodies.giveBack };

  server.post(
    "/v1/claims",
    { onRequest: writing, schema: { body: ClaimRequest, response: { 200: ClaimAnswer } } },
    async (request) => {
      const { account } = sessionOf(request);
      await quotas.requireClaim(account, request.body.chunks);
      return claims.open(account, request.body);
    },
  );

  server.post(
    "/v1/claims/:claimId/answers",
    {
      onRequest: writing,
      schema: { params: ClaimParams, body: ClaimProofRequest, response: { 200: ClaimOutcome } },
    },
    async (request) => claims.answer(sessionOf(request).account, request.params.claimId, request.body),
  );

  server.post(
    "/v1/chunks",
    {
      ...withPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: { response: { 200: StoreChunksAnswer } },
    },
    async (request) => {
      const { account } = sessionOf(request);
      return { stored: await withFrames(request, (read) => quotas.upload(account, () => chunks.store(account, read))) };
    },
  );

  server.post(
    "/v1/chunks/release",
    { onRequest: forAccounts(sessions, quotas), schema: { body: ReleaseRequest, response: { 200: ReleaseAnswer } } },
    async (request) => {
      const { ids, version } = request.body;
      const now = Math.floor(Date.now() / 1000);
      const released = await index.chunks.noteRelease(sessionOf(request).account, ids.map(digestOf), version, now);
      if (released === undefined) throw otherHead(version);
      return { released };
    },
  );

  server.post(
    "/v1/chunks/keep",
    { onRequest: writing, schema: { body: KeepRequest, response: { 200: KeepAnswer } } },
    async (request) => {
      const { ids } = request.body;
      const kept = await index.chunks.keep(sessionOf(request).account, ids.map(digestOf));
      return { missing: ids.filter((_, k) => !kept[k]) };
    },
  );

  server.get("/v1/usage", { onRequest: either, schema: { response: { 200: UsageAnswer } } }, async (request) => {
    const { account } = sessionOf(request);
    const { chunks: owned, bytes } = await index.chunks.usageOf(account);
    const releases = await index.heads.releasesOf(account);
    const expiresAt = await unpaid.expiryOf(account);
    return { chunks: owned, bytes, releases, ...(expiresAt === undefined ? {} : { expiresAt }) };
  });

  server.post(
    "/v1/chunks/inspect",
    { onRequest: either, schema: { body: InspectRequest, response: { 200: InspectAnswer } } },
    async (request) => ({ lost: await chunks.inspectFor(sessionOf(request).account, request.body.ids) }),
  );

  server.get("/v1/chunks/:id", { onRequest: reading, schema: { params: ChunkParams } }, async (request, reply) => {
    const memory = takeDownloadMemory();
    const bytes = await chunks.serve(sessionOf(request).account, request.params.id, memory.allocate);
    // Then the system has its own copy. After any other end, the memory is left to the garbage collector.
    reply.raw.once("finish", memory.giveBack);
    return reply.type(OCTET_STREAM).send(bytes);
  });
}

function otherHead(version: number): TallystickError {
  return new TallystickError(
    "the snapshot list has changed since it told what is needed, or a device has left a snapshot",
    {
      code: "CONFLICT",
      party: "client",
      check: "version of the head",
      received: String(version),
      hint: "read the head, take over what devices have left, and release what no snapshot needs then",
    },
  );
}
