/**
 * Agreements that another device of this account made. The provider tells the salt of the audit key, and it is believed
 * only if the key that derives from it is the one in the agreement on chain: so nobody but this account can have made
 * the agreement.
 */

import type { Agreement } from "../../chain/escrow.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgreementStatus as ProviderView } from "../../core/wire/csp.ts";
import type { CataloguedAgreement } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import { agreementKeys } from "./agreement-keys.ts";
import { isRunning, proposalsOf } from "./proposals.ts";

/** The provider's own account of an agreement; undefined when it cannot be had. */
export async function providerViewOf(context: AgentContext, agreement: Agreement): Promise<ProviderView | undefined> {
  const provider = context.providers().find(agreement.terms.provider);
  try {
    return await provider?.agreement(agreement.id);
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    context.logger.debug({ agreement: agreement.id, code: error.code }, error.message);
    return undefined;
  }
}

/**
 * Writes an agreement of the chain into this device's catalogue.
 *
 * @param dataId what its manifest is of.
 * @returns undefined when its provider does not tell the right salt.
 */
export async function adopt(
  context: AgentContext,
  agreement: Agreement,
  dataId: string,
): Promise<CataloguedAgreement | undefined> {
  const { id, terms } = agreement;
  const view = await providerViewOf(context, agreement);
  if (
    view === undefined ||
    (await agreementKeys(context.identity.auditSeed, view.salt)).keyHash !== terms.auditKeyHash
  ) {
    context.logger.warn({ agreement: id }, "its provider does not tell the salt of this agreement: no private audits");
    return undefined;
  }
  const row: CataloguedAgreement = {
    salt: view.salt,
    dataId,
    provider: terms.provider,
    escrow: context.deployment.contracts.storageEscrow,
    state: "accepted",
    agreementId: id,
    createdAt: Math.floor(context.platform.clock.now() / 1000),
  };
  await context.catalogue.saveAgreement(row);
  return row;
}

/**
 * Adopts the running agreement that another device of this account made with a provider about the same data, so that no
 * second one is paid. Reads the account's proposals since the deployment, so it is worth it only when another device
 * has recorded the data.
 *
 * @param manifestHash of the data at the provider, 0x hex.
 * @returns undefined when there is none that still has a window to meet.
 */
export async function adoptRunning(
  context: AgentContext,
  dataId: string,
  provider: string,
  manifestHash: string,
): Promise<CataloguedAgreement | undefined> {
  const chain = await context.chain();
  for await (const agreement of proposalsOf(chain, context.account.address, context.deployment.deployedAtBlock)) {
    const { terms } = agreement;
    if (terms.manifestHash !== manifestHash || !isAddressEqual(terms.provider, provider)) continue;
    if (!(await isRunning(context, agreement))) continue;
    const adopted = await adopt(context, agreement, dataId);
    if (adopted !== undefined) return adopted;
  }
  return undefined;
}
