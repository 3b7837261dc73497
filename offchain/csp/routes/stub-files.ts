/** Routes of stub files. */
import { MAX_STUB_FILE_BYTES } from "../../core/revocable/stub-file.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import { StubFileAnswer, StubFileParams, StubFileQuery } from "../../core/wire/stub-files.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { AccountQuotas } from "../quotas.ts";
import type { StubFileService } from "../stub-files/stub-files.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { limited, withBody } from "./request-body.ts";

const PATH = "/v1/stub-files/:dataId";

export function addStubFileRoutes(
  server: DaemonServer,
  services: { sessions: Sessions; quotas: AccountQuotas; bodies: BodyPlaces; stubFiles: StubFileService },
): void {
  const { sessions, quotas, bodies, stubFiles } = services;
  const reading = forAccounts(sessions, quotas, "read");
  const schema = { params: StubFileParams, querystring: StubFileQuery, response: { 200: StubFileAnswer } };

  server.get(PATH, { onRequest: reading, schema: { params: StubFileParams } }, async (request, reply) => {
    const sealed = await stubFiles.find(sessionOf(request).account, request.params.dataId);
    return reply.type(OCTET_STREAM).send(sealed);
  });

  const onRequest = [...forAccounts(sessions, quotas), bodies.take];
  server.put(PATH, { onRequest, onSend: bodies.giveBack, schema }, async (request) => {
    const { account } = sessionOf(request);
    const { dataId } = request.params;
    const expected = Number(request.query.expected);
    const replace = (body: AsyncIterable<Uint8Array>) =>
      stubFiles.replace(account, dataId, expected, limited(body, MAX_STUB_FILE_BYTES));
    return { epoch: await withBody(request, replace) };
  });
}
