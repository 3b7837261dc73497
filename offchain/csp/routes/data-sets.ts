/** Routes of data sets, their segments and states, of private audits, and of openings of commitments. */

import type { FastifyRequest } from "fastify";
import type { ChainReader } from "../../chain/deployment.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { MAX_MANIFEST_BYTES, MAX_STREAM_PIECE_BYTES, StreamQuery } from "../../core/wire/csp.ts";
import {
  BeginDataSetRequest,
  DataSetAuditAnswer,
  DataSetAuditRequest,
  DataSetOffer,
  DataSetParams,
  DataSetStatus,
  OpenDataSetRequest,
  OpeningsAnswer,
  OpeningsRequest,
  PowersParams,
  SegmentParams,
  SegmentQuery,
  SegmentStatus,
  UpdateAnswer,
  UpdateRequest,
} from "../../core/wire/data-sets.ts";
import { HeadOfQuery } from "../../core/wire/heads.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { Segment } from "../../store/index/segment-index.ts";
import type { SuccessionIndex } from "../../store/index/succession-index.ts";
import { accountOrPredecessor } from "../account-or-predecessor.ts";
import type { ChallengeKey } from "../data-sets/challenge-key.ts";
import { type DataSetService, requireNotEnded } from "../data-sets/data-sets.ts";
import { requireSetOfDelegate } from "../data-sets/delegate-states.ts";
import type { OpeningService } from "../data-sets/openings.ts";
import type { DataSetProofs } from "../data-sets/proofs.ts";
import { SEGMENT_HEAD_BYTES, type SegmentService } from "../data-sets/segments.ts";
import type { UpdateService } from "../data-sets/updates.ts";
import type { SegmentVerification } from "../data-sets/verification.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { limited, withBody } from "./request-body.ts";

const UPLOAD_MILLISECONDS = 600_000;
/** A state may take a deposit, an approval and its own transaction to be mined. */
const STATE_MILLISECONDS = 600_000;
const AUDIT_MILLISECONDS = 300_000;

export function addDataSetRoutes(
  server: DaemonServer,
  services: {
    chain: ChainReader;
    successions: Pick<SuccessionIndex, "hasTakenOver">;
    sessions: Sessions;
    quotas: AccountQuotas;
    bodies: BodyPlaces;
    offer: DataSetOffer;
    sets: DataSetService;
    segments: SegmentService;
    verification: SegmentVerification;
    updates: UpdateService;
    proofs: DataSetProofs;
    challengeKey: ChallengeKey;
    openings: OpeningService;
    /** Slices that may be asked for. */
    heldRanges: (row: DataSetRow) => Promise<SliceRange[]>;
    verifyWaitSeconds: number;
  },
): void {
  const { sessions, quotas, bodies, offer, sets, segments, verification, updates, proofs, challengeKey, openings } =
    services;
  const { chain, successions, heldRanges, verifyWaitSeconds } = services;
  const onRequest = forAccounts(sessions, quotas);
  const writing = forAccounts(sessions, quotas, "write");
  const writingWithPlace = { onRequest: [...writing, bodies.take], onSend: bodies.giveBack };
  /** A delegate's sessions reach the sets that were given to it only. */
  const setOf = async (request: FastifyRequest, salt: string, of?: string): Promise<DataSetRow> => {
    const { account, delegation } = sessionOf(request);
    const set = await sets.require(await accountOrPredecessor(successions, account, of), salt);
    if (delegation !== undefined) await requireSetOfDelegate(chain, delegation, set);
    return set;
  };
  const segmentStatus = (segment: Segment): SegmentStatus =>
    segments.status(segment, verification.progressOf(segment.id));

  server.get("/v1/data-set-offer", { schema: { response: { 200: DataSetOffer } } }, async () => offer);

  server.put(
    "/v1/data-sets/:salt",
    { onRequest, schema: { params: DataSetParams, body: BeginDataSetRequest, response: { 200: DataSetStatus } } },
    async (request) => {
      await quotas.requireDisk();
      const { account } = sessionOf(request);
      return sets.status(await sets.begin(account, request.params.salt, request.body));
    },
  );

  server.get(
    "/v1/data-sets/:salt",
    {
      onRequest: writing,
      schema: { params: DataSetParams, querystring: HeadOfQuery, response: { 200: DataSetStatus } },
    },
    async (request) => sets.status(await setOf(request, request.params.salt, request.query.of)),
  );

  server.put(
    "/v1/data-sets/:salt/:part",
    {
      ...writingWithPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: { params: PowersParams, querystring: StreamQuery, response: { 200: DataSetStatus } },
    },
    async (request) => {
      const { salt, part } = request.params;
      const offsetBytes = Number(request.query.offset ?? "0");
      const { account } = await setOf(request, salt);
      return sets.status(
        await withBody(request, async (body) => {
          await quotas.requireDisk();
          return sets.append(account, salt, part, offsetBytes, limited(body, MAX_STREAM_PIECE_BYTES));
        }),
      );
    },
  );

  server.put(
    "/v1/data-sets/:salt/segments/:segment",
    {
      ...writingWithPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: { params: SegmentParams, querystring: SegmentQuery, response: { 200: SegmentStatus } },
    },
    async (request) => {
      const { salt, segment } = request.params;
      const set = await setOf(request, salt);
      const limitBytes = SEGMENT_HEAD_BYTES + MAX_MANIFEST_BYTES;
      return segmentStatus(
        await withBody(request, async (body) => {
          await quotas.requireDisk();
          return segments.begin(set, segment, Number(request.query.firstIndex), limited(body, limitBytes));
        }),
      );
    },
  );

  server.get(
    "/v1/data-sets/:salt/segments/:segment",
    { onRequest: writing, schema: { params: SegmentParams, response: { 200: SegmentStatus } } },
    async (request) => {
      const { salt, segment } = request.params;
      const set = await setOf(request, salt);
      return segmentStatus(await segments.require(set, segment));
    },
  );

  server.put(
    "/v1/data-sets/:salt/segments/:segment/tags",
    {
      ...writingWithPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: { params: SegmentParams, querystring: StreamQuery, response: { 200: SegmentStatus } },
    },
    async (request) => {
      const { salt, segment } = request.params;
      const offsetBytes = Number(request.query.offset ?? "0");
      const set = await setOf(request, salt);
      return segmentStatus(
        await withBody(request, async (body) => {
          await quotas.requireDisk();
          return segments.append(set, segment, offsetBytes, limited(body, MAX_STREAM_PIECE_BYTES));
        }),
      );
    },
  );

  server.post(
    "/v1/data-sets/:salt/segments/:segment/verify",
    {
      onRequest: writing,
      handlerTimeout: (verifyWaitSeconds + 30) * 1000,
      schema: { params: SegmentParams, response: { 200: SegmentStatus, 202: SegmentStatus } },
    },
    async (request, reply) => {
      const { salt, segment } = request.params;
      const set = await setOf(request, salt);
      const done = await verification.verify(set, await segments.require(set, segment), verifyWaitSeconds);
      return reply.code(done ? 200 : 202).send(segmentStatus(await segments.require(set, segment)));
    },
  );

  server.post(
    "/v1/data-sets/:salt/open",
    {
      onRequest,
      handlerTimeout: STATE_MILLISECONDS,
      schema: { params: DataSetParams, body: OpenDataSetRequest, response: { 200: UpdateAnswer } },
    },
    async (request) => updates.open(sessionOf(request).account, request.params.salt, request.body),
  );

  server.post(
    "/v1/data-sets/:salt/updates",
    {
      onRequest: writing,
      handlerTimeout: STATE_MILLISECONDS,
      schema: { params: DataSetParams, body: UpdateRequest, response: { 200: UpdateAnswer } },
    },
    async (request) => {
      const { salt } = request.params;
      await setOf(request, salt);
      return updates.update(sessionOf(request).account, salt, request.body);
    },
  );

  server.post(
    "/v1/data-sets/:salt/audit",
    {
      onRequest,
      handlerTimeout: AUDIT_MILLISECONDS,
      schema: { params: DataSetParams, body: DataSetAuditRequest, response: { 200: DataSetAuditAnswer } },
    },
    async (request) => {
      const set = await sets.require(sessionOf(request).account, request.params.salt);
      requireNotEnded(set);
      const asked = await challengeKey.open(set, request.body.sealed);
      const { proof, signature } = await proofs.answer(set, asked, await heldRanges(set));
      return { proof: toHex(proof), ...(signature === undefined ? {} : { signature }) };
    },
  );

  server.post(
    "/v1/data-sets/:salt/openings",
    {
      onRequest,
      handlerTimeout: AUDIT_MILLISECONDS,
      schema: {
        params: DataSetParams,
        querystring: HeadOfQuery,
        body: OpeningsRequest,
        response: { 200: OpeningsAnswer },
      },
    },
    async (request) => {
      const set = await setOf(request, request.params.salt, request.query.of);
      requireNotEnded(set);
      return await openings.open(set, request.body, await heldRanges(set));
    },
  );
}
