/** The node's HTTP interface: validation by schema, one service call each. */

import * as Type from "@sinclair/typebox/type";
import { NotReleasedError } from "../../chain/release-policy.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  EvaluateAnswer,
  EvaluateRequest,
  GenerationParams,
  KeyMaterialAnswer,
  MAXIMUM_PAGE,
  NodeAnswer,
  RecordAnswer,
  RecordsAnswer,
  RecordsQuery,
  RelayAnswer,
  RelayOwnerRequest,
  RelayRecordRequest,
  RunMessagesAnswer,
  RunMessagesRequest,
  ShareAnswer,
  ShareDeliveryAnswer,
  ShareDeliveryBody,
  ShareHandoverAnswer,
  ShareHandoverRequest,
  ShareRequestBody,
} from "../../core/wire/nbm.ts";
import { ReleaseAnswer, ReleaseRequestBody } from "../../core/wire/release.ts";
import { Bytes32Text } from "../../core/wire/schema.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { RunAnswers } from "../generations/answers.ts";
import type { NbmMetrics } from "../metrics.ts";
import type { OprfService } from "../oprf/oprf-service.ts";
import { type Archive, toRecordAnswer } from "../records/archive.ts";
import type { ArchiveFollower } from "../records/archive-follower.ts";
import type { ShareService } from "../records/key-share-service.ts";
import { noRecord, type RecordOwnership } from "../records/record-ownership.ts";
import type { Relay } from "../records/relay.ts";
import type { ShareDeliveries } from "../records/share-deliveries.ts";
import type { ShareHandovers } from "../records/share-handovers.ts";
import type { ReleaseService } from "../releases/release-service.ts";

export interface NbmServices {
  readonly sessions: Sessions;
  readonly describe: () => NodeAnswer;
  readonly oprf: OprfService;
  readonly runs: RunAnswers;
  readonly relay: Relay;
  readonly archive: Archive;
  readonly follower: ArchiveFollower;
  readonly shares: ShareService;
  readonly deliveries: ShareDeliveries;
  readonly handovers: ShareHandovers;
  readonly ownership: RecordOwnership;
  readonly releases: ReleaseService;
  readonly metrics: NbmMetrics;
}

/** Mining may take minutes on a busy chain; somewhat more than the sender waits for a receipt. */
const RELAY_TIMEOUT_MILLISECONDS = 320_000;

const closed = { additionalProperties: false };
const HashParams = Type.Object({ hash: Bytes32Text }, closed);
const RecordParams = Type.Object({ recordId: Bytes32Text }, closed);

function generationOf({ committeeId, generation }: GenerationParams): GenerationId {
  return { committeeId: BigInt(committeeId), generation: Number(generation) };
}

export function addNbmRoutes(server: DaemonServer, services: NbmServices): void {
  const { sessions, oprf, runs, relay, archive, follower, shares, ownership, releases, metrics } = services;
  const writing = sessions.require("write");

  server.get("/v1/node", { schema: { response: { 200: NodeAnswer } } }, async () => services.describe());

  server.post(
    "/v1/oprf/evaluate",
    { onRequest: writing, bodyLimit: 32 * 1024, schema: { body: EvaluateRequest, response: { 200: EvaluateAnswer } } },
    async (request) => {
      const { account, signer } = sessionOf(request);
      const answer = oprf.evaluate(account, request.body, signer);
      metrics.evaluations.inc(answer.evaluated.length);
      return answer;
    },
  );

  server.post(
    "/v1/committees/:committeeId/generations/:generation/messages",
    {
      bodyLimit: 48 * 1024,
      schema: { params: GenerationParams, body: RunMessagesRequest, response: { 200: RunMessagesAnswer } },
    },
    async ({ params, body }) => runs.messages(generationOf(params), body),
  );

  server.post(
    "/v1/records",
    {
      onRequest: writing,
      bodyLimit: 64 * 1024,
      handlerTimeout: RELAY_TIMEOUT_MILLISECONDS,
      schema: { body: RelayRecordRequest, response: { 200: RelayAnswer } },
    },
    async (request) => {
      const { account, signer } = sessionOf(request);
      const answer = await relay.record(signer, request.body, account);
      metrics.relayed.inc({ kind: "record" });
      return answer;
    },
  );
  server.post(
    "/v1/records/:recordId/owners",
    {
      onRequest: writing,
      bodyLimit: 16 * 1024,
      handlerTimeout: RELAY_TIMEOUT_MILLISECONDS,
      schema: { params: RecordParams, body: RelayOwnerRequest, response: { 200: RelayAnswer } },
    },
    async (request) => {
      const { account, signer } = sessionOf(request);
      const answer = await relay.owner(signer, request.params.recordId, request.body, account);
      metrics.relayed.inc({ kind: "owner" });
      return answer;
    },
  );

  server.get(
    "/v1/records/:recordId",
    { schema: { params: RecordParams, response: { 200: RecordAnswer } } },
    async ({ params }) => {
      await follower.refresh();
      const archived = archive.find(params.recordId);
      if (archived === undefined) throw noRecord(params.recordId);
      return toRecordAnswer(archived);
    },
  );
  server.get(
    "/v1/records",
    { schema: { querystring: RecordsQuery, response: { 200: RecordsAnswer } } },
    async ({ query }) => {
      await follower.refresh();
      return archive.list({
        after: Number(query.after ?? 0),
        limit: Number(query.limit ?? MAXIMUM_PAGE),
        ...(query.account === undefined ? {} : { account: checksumAddress(query.account, "account") }),
        ...(query.fileTag === undefined ? {} : { fileTag: query.fileTag }),
        ...(query.committeeId === undefined ? {} : { committeeId: query.committeeId }),
        ...(query.ownershipKey === undefined
          ? {}
          : { ownershipKey: checksumAddress(query.ownershipKey, "ownershipKey") }),
      });
    },
  );
  server.get(
    "/v1/key-material/:hash",
    { schema: { params: HashParams, response: { 200: KeyMaterialAnswer } } },
    async ({ params: { hash } }) => {
      const known = archive.keyMaterial(hash);
      if (known !== undefined) return known;
      await follower.refresh();
      const found = archive.keyMaterial(hash);
      if (found === undefined) throw noKeyMaterial(hash);
      return found;
    },
  );
  server.post(
    "/v1/records/:recordId/share",
    { bodyLimit: 8 * 1024, schema: { params: RecordParams, body: ShareRequestBody, response: { 200: ShareAnswer } } },
    async ({ params, body, ip }) => {
      const answer = await shares.release(params.recordId, { request: body, address: ip }, ownership);
      metrics.sharesReleased.inc();
      return answer;
    },
  );
  server.post(
    "/v1/records/:recordId/delivery",
    {
      bodyLimit: 12 * 1024,
      schema: { params: RecordParams, body: ShareDeliveryBody, response: { 200: ShareDeliveryAnswer } },
    },
    async ({ params, body, ip }) => {
      const answer = await services.deliveries.accept(params.recordId, { request: body, address: ip });
      if (answer.isNew) metrics.sharesTaken.inc({ from: "owner" });
      return answer;
    },
  );
  server.post(
    "/v1/handovers",
    { bodyLimit: 4 * 1024, schema: { body: ShareHandoverRequest, response: { 200: ShareHandoverAnswer } } },
    async ({ body }) => {
      const answer = await services.handovers.answer(body);
      metrics.sharesHandedOver.inc(answer.shares.length);
      return answer;
    },
  );

  server.post(
    "/v1/releases",
    {
      onRequest: sessions.require("read"),
      bodyLimit: 32 * 1024,
      schema: { body: ReleaseRequestBody, response: { 200: ReleaseAnswer } },
    },
    async (request) => {
      try {
        const { account, signer } = sessionOf(request);
        const answer = await releases.release(signer, request.body, account);
        metrics.releases.inc({ outcome: "released" });
        return answer;
      } catch (error) {
        metrics.releases.inc({ outcome: error instanceof NotReleasedError ? "refused" : "failed" });
        throw error;
      }
    },
  );
}

function noKeyMaterial(hash: string): TallystickError {
  return new TallystickError(`the archive has no key material of hash ${hash}`, {
    code: "NOT_FOUND",
    check: "key material",
    received: hash,
    hint: "take the hash from the registry, or ask another node",
  });
}
