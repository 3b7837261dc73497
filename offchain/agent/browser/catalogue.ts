/** The catalogue in the storage of a page. */

import type { HeadName } from "../../core/snapshot/list-objects.ts";
import type { Catalogue, CataloguedAgreement, CataloguedPut } from "../catalogue.ts";
import type { AgreementRow, PageStore } from "./page-store.ts";

const OWNER = "owner";

export class PageCatalogue implements Catalogue {
  readonly #store: PageStore;

  constructor(store: PageStore) {
    this.#store = store;
  }

  async claimFor(account: string): Promise<string> {
    return await this.#store.write(["account"], async (transaction) => {
      const accounts = transaction.objectStore("account");
      const owner = await accounts.get(OWNER);
      if (owner === undefined) await accounts.add(account, OWNER);
      return owner ?? account;
    });
  }

  async savePut(put: CataloguedPut): Promise<void> {
    await this.#store.write(["puts"], async (transaction) => {
      const puts = transaction.objectStore("puts");
      const known = await puts.get(put.dataId);
      await puts.put({ ...put, storedAt: known?.storedAt ?? put.storedAt });
    });
  }

  async puts(): Promise<CataloguedPut[]> {
    const puts = await this.#store.read(["puts"], (transaction) => transaction.objectStore("puts").getAll());
    return puts.sort((a, b) => b.storedAt - a.storedAt || (a.dataId < b.dataId ? -1 : 1));
  }

  async put(dataId: string): Promise<CataloguedPut | undefined> {
    return await this.#store.read(["puts"], (transaction) => transaction.objectStore("puts").get(dataId));
  }

  async removePut(dataId: string): Promise<void> {
    await this.#store.write(["puts"], (transaction) => transaction.objectStore("puts").delete(dataId));
  }

  async saveAgreement(agreement: CataloguedAgreement): Promise<void> {
    const row = toRow(agreement);
    await this.#store.write(["agreements"], async (transaction) => {
      const agreements = transaction.objectStore("agreements");
      const holder =
        row.agreementId === undefined
          ? undefined
          : await agreements.index("byNumber").get([row.escrowLowerCase, row.agreementId]);
      if (holder !== undefined && holder.salt !== row.salt) {
        const { agreementId: _lost, ...rest } = holder;
        await agreements.put(rest);
      }
      await agreements.put(row);
    });
  }

  async agreements(dataId?: string): Promise<CataloguedAgreement[]> {
    const rows = await this.#store.read(["agreements"], async (transaction) => {
      const agreements = transaction.objectStore("agreements");
      return dataId === undefined ? await agreements.getAll() : await agreements.index("byData").getAll(dataId);
    });
    return rows.map(fromRow).sort((a, b) => a.createdAt - b.createdAt || (a.salt < b.salt ? -1 : 1));
  }

  async agreement(escrow: string, agreementId: bigint): Promise<CataloguedAgreement | undefined> {
    const key: [string, string] = [escrow.toLowerCase(), agreementId.toString()];
    const row = await this.#store.read(["agreements"], (transaction) =>
      transaction.objectStore("agreements").index("byNumber").get(key),
    );
    return row === undefined ? undefined : fromRow(row);
  }

  async removeAgreement(salt: string): Promise<void> {
    await this.#store.write(["agreements"], async (transaction) => {
      const agreements = transaction.objectStore("agreements");
      const row = await agreements.get(salt);
      if (row?.agreementId === undefined) await agreements.delete(salt);
    });
  }

  async listHead(list: string): Promise<HeadName | undefined> {
    return await this.#store.read(["listHeads"], (transaction) => transaction.objectStore("listHeads").get(list));
  }

  async sawListHead(list: string, { version, id }: HeadName): Promise<void> {
    await this.#store.write(["listHeads"], async (transaction) => {
      const heads = transaction.objectStore("listHeads");
      const seen = await heads.get(list);
      if (version > (seen?.version ?? 0)) await heads.put({ version, id }, list);
    });
  }

  async forgetListHead(list: string): Promise<void> {
    await this.#store.write(["listHeads"], (transaction) => transaction.objectStore("listHeads").delete(list));
  }

  async close(): Promise<void> {
    this.#store.close();
  }
}

function toRow({ agreementId, ...rest }: CataloguedAgreement): AgreementRow {
  const row = { ...rest, escrowLowerCase: rest.escrow.toLowerCase() };
  return agreementId === undefined ? row : { ...row, agreementId: agreementId.toString() };
}

function fromRow({ escrowLowerCase: _key, agreementId, ...rest }: AgreementRow): CataloguedAgreement {
  return agreementId === undefined ? rest : { ...rest, agreementId: BigInt(agreementId) };
}
