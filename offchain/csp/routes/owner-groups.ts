/** Routes of ownership groups. */
import { MAX_STUB_FILE_BYTES } from "../../core/revocable/stub-file.ts";
import { OCTET_STREAM } from "../../core/wire/csp.ts";
import {
  FoundGroupRequest,
  GroupChangeAnswer,
  GroupClosedAnswer,
  GroupCompletedAnswer,
  GroupMemberRequest,
  GroupMembersAnswer,
  GroupMembersQuery,
  GroupOfPutQuery,
  GroupParams,
  GroupProofAnswer,
  GroupSecretRequest,
  JoinGroupRequest,
  OwnerGroupAnswer,
  RekeyParams,
} from "../../core/wire/owner-groups.ts";
import { StubFileAnswer, StubFileQuery } from "../../core/wire/stub-files.ts";
import type { DaemonServer } from "../../daemon/server.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { OwnerGroupService } from "../owner-groups/owner-groups.ts";
import type { PassedPlaces } from "../owner-groups/passed-places.ts";
import type { AccountQuotas } from "../quotas.ts";
import { forAccounts } from "./account-requests.ts";
import type { BodyPlaces } from "./body-places.ts";
import { limited, withBody } from "./request-body.ts";

const PATH = "/v1/owner-groups";
const GROUP = `${PATH}/:groupId`;

export function addOwnerGroupRoutes(
  server: DaemonServer,
  services: {
    sessions: Sessions;
    quotas: AccountQuotas;
    bodies: BodyPlaces;
    groups: OwnerGroupService;
    places: PassedPlaces;
  },
): void {
  const { sessions, quotas, bodies, groups, places } = services;
  const onRequest = forAccounts(sessions, quotas);
  const params = GroupParams;

  server.post(
    PATH,
    { onRequest, schema: { body: FoundGroupRequest, response: { 200: OwnerGroupAnswer } } },
    async (request) => groups.found(sessionOf(request).account, request.body),
  );

  server.get(
    PATH,
    { onRequest, schema: { querystring: GroupOfPutQuery, response: { 200: OwnerGroupAnswer } } },
    async (request) => groups.ofPut(sessionOf(request).account, request.query.dataId),
  );

  server.get(
    `${GROUP}/proof`,
    { onRequest, schema: { params, response: { 200: GroupProofAnswer } } },
    async (request) => groups.proof(request.params.groupId),
  );

  server.post(
    `${GROUP}/join`,
    { onRequest, schema: { params, body: JoinGroupRequest, response: { 200: GroupChangeAnswer } } },
    async (request) => groups.join(sessionOf(request).account, request.params.groupId, request.body),
  );

  server.post(
    `${GROUP}/complete`,
    { onRequest, schema: { params, response: { 200: GroupCompletedAnswer } } },
    async (request) => {
      await groups.complete(sessionOf(request).account, request.params.groupId);
      return { completed: true };
    },
  );

  server.post(
    `${GROUP}/secret`,
    { onRequest, schema: { params, body: GroupSecretRequest, response: { 200: GroupChangeAnswer } } },
    async (request) => places.tellSecret(sessionOf(request).account, request.params.groupId, request.body),
  );

  server.post(
    `${GROUP}/leave`,
    { onRequest, schema: { params, response: { 200: GroupChangeAnswer } } },
    async (request) => groups.leave(sessionOf(request).account, request.params.groupId),
  );

  server.post(
    `${GROUP}/revoke`,
    { onRequest, schema: { params, body: GroupMemberRequest, response: { 200: GroupChangeAnswer } } },
    async (request) => groups.revoke(sessionOf(request).account, request.params.groupId, request.body.account),
  );

  server.post(
    `${GROUP}/readmit`,
    { onRequest, schema: { params, body: GroupMemberRequest, response: { 200: GroupChangeAnswer } } },
    async (request) => groups.readmit(sessionOf(request).account, request.params.groupId, request.body.account),
  );

  server.post(
    `${GROUP}/close`,
    { onRequest, schema: { params, response: { 200: GroupClosedAnswer } } },
    async (request) => {
      await groups.close(sessionOf(request).account, request.params.groupId);
      return { closed: true };
    },
  );

  server.get(
    `${GROUP}/members`,
    { onRequest, schema: { params, querystring: GroupMembersQuery, response: { 200: GroupMembersAnswer } } },
    async (request) => groups.members(sessionOf(request).account, request.params.groupId, request.query.after),
  );

  server.get(`${GROUP}/path`, { onRequest, schema: { params } }, async (request, reply) => {
    const path = await groups.path(sessionOf(request).account, request.params.groupId);
    return reply.type(OCTET_STREAM).send(path);
  });

  server.get(`${GROUP}/rekeys/:epoch`, { onRequest, schema: { params: RekeyParams } }, async (request, reply) => {
    const { groupId, epoch } = request.params;
    return reply.type(OCTET_STREAM).send(await groups.rekey(sessionOf(request).account, groupId, Number(epoch)));
  });

  server.get(`${GROUP}/stub-file`, { onRequest, schema: { params } }, async (request, reply) => {
    const wrapped = await groups.stubFile(sessionOf(request).account, request.params.groupId);
    return reply.type(OCTET_STREAM).send(wrapped);
  });

  server.put(
    `${GROUP}/stub-file`,
    {
      onRequest: [...onRequest, bodies.take],
      onSend: bodies.giveBack,
      schema: { params, querystring: StubFileQuery, response: { 200: StubFileAnswer } },
    },
    async (request) => {
      const { account } = sessionOf(request);
      const expected = Number(request.query.expected);
      const replace = (body: AsyncIterable<Uint8Array>) =>
        groups.replaceStubFile(account, request.params.groupId, expected, limited(body, MAX_STUB_FILE_BYTES));
      return { epoch: await withBody(request, replace) };
    },
  );
}
