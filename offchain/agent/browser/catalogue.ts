/** The catalogue in the storage of a page. */

import type { HeadName } from "../../core/snapshot/list-objects.ts";
import type { Catalogue, CataloguedPut } from "../catalogue.ts";
import type { PageStore } from "./page-store.ts";

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
