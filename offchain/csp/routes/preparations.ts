/** Routes of the preparation of agreements. */
import {
  MAX_MANIFEST_BYTES,
  MAX_PREPARATION_PART_BYTES,
  PreparationParams,
  PreparationPartParams,
  PreparationPartQuery,
  PreparationStatus,
} from "../../core/wire/csp.ts";
import { PREPARATION_HEAD_BYTES } from "../../core/wire/preparation-body.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { Preparation } from "../../store/index/preparation-index.ts";
import type { PreparationService } from "../possession/preparations.ts";
import type { VerificationService } from "../possession/verification.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { limited, withBody } from "./request-body.ts";

const UPLOAD_MILLISECONDS = 600_000;

export function addPreparationRoutes(
  server: DaemonServer,
  services: {
    sessions: Sessions;
    quotas: AccountQuotas;
    bodies: BodyPlaces;
    preparations: PreparationService;
    verification: VerificationService;
    verifyWaitSeconds: number;
  },
): void {
  const { sessions, quotas, bodies, preparations, verification, verifyWaitSeconds } = services;
  const onRequest = forAccounts(sessions, quotas);
  const withPlace = { onRequest: [...onRequest, bodies.take], onSend: bodies.giveBack };
  const statusOf = (preparation: Preparation): PreparationStatus =>
    preparations.status(preparation, verification.progressOf(preparation.id));

  server.put(
    "/v1/preparations/:salt",
    {
      ...withPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: { params: PreparationParams, response: { 200: PreparationStatus } },
    },
    async (request) => {
      const { account } = sessionOf(request);
      const limitBytes = PREPARATION_HEAD_BYTES + MAX_MANIFEST_BYTES;
      return statusOf(
        await withBody(request, async (body) => {
          await quotas.requireDisk();
          return preparations.open(account, request.params.salt, limited(body, limitBytes));
        }),
      );
    },
  );

  server.get(
    "/v1/preparations/:salt",
    { onRequest, schema: { params: PreparationParams, response: { 200: PreparationStatus } } },
    async (request) => statusOf(await preparations.require(sessionOf(request).account, request.params.salt)),
  );

  server.put(
    "/v1/preparations/:salt/:part",
    {
      ...withPlace,
      handlerTimeout: UPLOAD_MILLISECONDS,
      schema: {
        params: PreparationPartParams,
        querystring: PreparationPartQuery,
        response: { 200: PreparationStatus },
      },
    },
    async (request) => {
      const { salt, part } = request.params;
      const offsetBytes = Number(request.query.offset ?? "0");
      const { account } = sessionOf(request);
      return statusOf(
        await withBody(request, async (body) => {
          await quotas.requireDisk();
          return preparations.append(account, salt, part, offsetBytes, limited(body, MAX_PREPARATION_PART_BYTES));
        }),
      );
    },
  );

  server.post(
    "/v1/preparations/:salt/verify",
    {
      onRequest,
      handlerTimeout: (verifyWaitSeconds + 30) * 1000,
      schema: { params: PreparationParams, response: { 200: PreparationStatus, 202: PreparationStatus } },
    },
    async (request, reply) => {
      const { account } = sessionOf(request);
      const { salt } = request.params;
      const done = await verification.verify(await preparations.require(account, salt), verifyWaitSeconds);
      return reply.code(done ? 200 : 202).send(statusOf(await preparations.require(account, salt)));
    },
  );
}
