/** The ports that tests of the SDK use in place of a platform's. */
import { MemoryCatalogue, MemoryDataSetJournal, MemoryPreparations } from "../../helpers/memory-platform.ts";
import { testCatalogue } from "./catalogue-suite.ts";
import { testDataSetJournal } from "./data-set-journal-suite.ts";
import { testPreparations } from "./preparation-suite.ts";

describe("catalogue in memory", () => {
  testCatalogue(async () => {
    const catalogue = new MemoryCatalogue();
    return { open: async () => catalogue, remove: async () => undefined };
  });
});

describe("preparations in memory", () => {
  testPreparations(async () => {
    const preparations = new MemoryPreparations();
    return { open: async () => preparations, remove: async () => undefined };
  });
});

describe("journal of data sets in memory", () => {
  testDataSetJournal(async () => {
    const journal = new MemoryDataSetJournal();
    return { open: async () => journal, remove: async () => undefined };
  });
});
