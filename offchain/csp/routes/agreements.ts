/** Routes of the offer, of agreements and of private audits. */

import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  AcceptAnswer,
  AcceptRequest,
  AgreementParams,
  AgreementStatus,
  AuditAnswer,
  AuditRequest,
  Offer,
} from "../../core/wire/csp.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { AgreementService } from "../agreements/agreements.ts";
import type { PreparationService } from "../possession/preparations.ts";
import type { ProofService } from "../possession/proofs.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";

/** Accepting takes up to two transactions to be mined. */
const ACCEPT_MILLISECONDS = 600_000;
const AUDIT_MILLISECONDS = 300_000;

export function addAgreementRoutes(
  server: DaemonServer,
  services: {
    sessions: Sessions;
    quotas: AccountQuotas;
    offer: Offer;
    agreements: AgreementService;
    preparations: PreparationService;
    proofs: ProofService;
  },
): void {
  const { sessions, quotas, offer, agreements, preparations, proofs } = services;
  const onRequest = forAccounts(sessions, quotas);

  server.get("/v1/offer", { schema: { response: { 200: Offer } } }, async () => offer);

  server.post(
    "/v1/agreements",
    {
      onRequest,
      handlerTimeout: ACCEPT_MILLISECONDS,
      schema: { body: AcceptRequest, response: { 200: AcceptAnswer } },
    },
    async (request) => {
      const { agreementId, salt } = request.body;
      return agreements.accept(sessionOf(request).account, BigInt(agreementId), salt);
    },
  );

  server.get(
    "/v1/agreements/:agreementId",
    { onRequest, schema: { params: AgreementParams, response: { 200: AgreementStatus } } },
    async (request) =>
      agreements.status(await agreements.require(sessionOf(request).account, BigInt(request.params.agreementId))),
  );

  server.post(
    "/v1/agreements/:agreementId/audit",
    {
      onRequest,
      handlerTimeout: AUDIT_MILLISECONDS,
      schema: { params: AgreementParams, body: AuditRequest, response: { 200: AuditAnswer } },
    },
    async (request) => {
      const row = await agreements.require(sessionOf(request).account, BigInt(request.params.agreementId));
      const preparation = await preparations.rows.find(row.preparationId);
      if (preparation === undefined || row.state === "ended") {
        throw new TallystickError("the agreement has ended", {
          code: "CONFLICT",
          party: "client",
          check: "state of the agreement",
          received: row.state,
        });
      }
      const { seed, sampleCount } = request.body;
      const proof = await proofs.provePrivate(preparation, fromHex(seed, 32, "seed"), sampleCount);
      return { proof: toHex(proof) };
    },
  );
}
