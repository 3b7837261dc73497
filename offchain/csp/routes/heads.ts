/** Routes of the snapshot list's head. */
import { MAX_HEAD_BYTES } from "../../core/snapshot/list-objects.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import { HeadAnswer, HeadOfQuery, HeadQuery } from "../../core/wire/heads.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { HeadService } from "../heads/heads.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { limited, withBody } from "./request-body.ts";

export function addHeadRoutes(
  server: DaemonServer,
  services: { sessions: Sessions; quotas: AccountQuotas; bodies: BodyPlaces; heads: HeadService },
): void {
  const { sessions, quotas, bodies, heads } = services;
  const reading = forAccounts(sessions, quotas, "read");

  server.get("/v1/head", { onRequest: reading, schema: { querystring: HeadOfQuery } }, async (request, reply) => {
    const { account } = sessionOf(request);
    const { of } = request.query;
    const sealed = of === undefined ? await heads.find(account) : await heads.findOf(account, of);
    return reply.type(OCTET_STREAM).send(sealed);
  });

  server.put(
    "/v1/head",
    {
      onRequest: [...forAccounts(sessions, quotas), bodies.take],
      onSend: bodies.giveBack,
      schema: { querystring: HeadQuery, response: { 200: HeadAnswer } },
    },
    async (request) => {
      const { account } = sessionOf(request);
      const expected = { version: Number(request.query.expected), releases: Number(request.query.releases) };
      return {
        version: await withBody(request, (body) => heads.replace(account, expected, limited(body, MAX_HEAD_BYTES))),
      };
    },
  );
}
