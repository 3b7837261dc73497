/** The verifier's HTTP interface: what it knows, for anybody to read. */

import type { Static } from "@sinclair/typebox";
import { decodeSchedule, lastLevel } from "../core/data-set/schedule.ts";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";
import {
  AlarmsAnswer,
  AlarmsQuery,
  MAXIMUM_VERIFIER_PAGE,
  type WatchedDataSet,
  WatchedDataSetAnswer,
  WatchedDataSetParams,
  WatchedDataSets,
  WatchedDataSetsQuery,
} from "../core/wire/verifier.ts";
import type { DaemonServer } from "../daemon/server.ts";
import { epochsBeyondNotice } from "./runway.ts";
import { liveBytesOf, type SetRecord, type SetRecords } from "./set-records.ts";

export interface VerifierServices {
  readonly records: SetRecords;
  readonly noticeEpochs: number;
  /** The contract of this deployment. */
  readonly ownVerifier: string;
}

/** Epochs of a set in its answer. */
const LISTED_EPOCHS = 64;

function pageLimit(limit: string | undefined): number {
  return Math.min(Number(limit ?? MAXIMUM_VERIFIER_PAGE), MAXIMUM_VERIFIER_PAGE);
}

export function addVerifierRoutes(server: DaemonServer, services: VerifierServices): void {
  const { records, noticeEpochs, ownVerifier } = services;

  const summaryOf = (set: SetRecord): Static<typeof WatchedDataSet> => {
    const { sliceCount, fee } = lastLevel(decodeSchedule(set.schedule));
    const account = set.status === "running" ? records.account(set.terms.token, set.terms.user) : undefined;
    const beyond = account === undefined ? Number.POSITIVE_INFINITY : epochsBeyondNotice(account, noticeEpochs);
    const { user, provider, token, mode } = set.terms;
    return {
      id: set.id,
      user,
      provider,
      token,
      mode,
      status: set.status,
      sliceCount,
      liveBytes: liveBytesOf(sliceCount, set.audit),
      feePerEpoch: String(fee),
      firstEpoch: set.firstEpoch,
      lastEpoch: set.lastEpoch ?? null,
      epochsBeyondNotice: Number.isSafeInteger(beyond) ? beyond : null,
      warning: set.warning ?? null,
    };
  };

  server.get(
    "/v1/data-sets",
    { schema: { querystring: WatchedDataSetsQuery, response: { 200: WatchedDataSets } } },
    async ({ query }) => {
      const limit = pageLimit(query.limit);
      const found = records.list(query.after ?? "", limit + 1, query.warning);
      const dataSets = found.slice(0, limit).map(summaryOf);
      return { dataSets, next: found.length > limit ? (dataSets.at(-1)?.id ?? null) : null };
    },
  );

  server.get(
    "/v1/data-sets/:id",
    { schema: { params: WatchedDataSetParams, response: { 200: WatchedDataSetAnswer } } },
    async ({ params }) => {
      const set = records.find(params.id);
      if (set === undefined) {
        throw new TallystickError(`there is no data set ${params.id}`, { code: "NOT_FOUND", check: "data set" });
      }
      return {
        ...summaryOf(set),
        verifier: set.audit.verifier,
        isOwnVerifier: set.audit.verifier.toLowerCase() === ownVerifier.toLowerCase(),
        schedule: toHex(set.schedule),
        ranges: toHex(set.ranges),
        epochs: records
          .epochs(set.id, LISTED_EPOCHS)
          .map(({ check, reason, ...epoch }) => ({ ...epoch, check: check ?? null, reason: reason ?? null })),
      };
    },
  );

  server.get(
    "/v1/alarms",
    { schema: { querystring: AlarmsQuery, response: { 200: AlarmsAnswer } } },
    async ({ query }) => {
      const limit = pageLimit(query.limit);
      const found = records.alarms(Number(query.after ?? 0), limit + 1);
      const alarms = found.slice(0, limit);
      return { alarms, next: found.length > limit ? (alarms.at(-1)?.sequence ?? null) : null };
    },
  );
}
