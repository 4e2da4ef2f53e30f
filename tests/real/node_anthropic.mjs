// What the official Anthropic SDK of Node makes of a gateway, as JSON.
// Usage: node node_anthropic.mjs BASE_URL KEY
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey });
const messages = [{ role: "user", content: "the river and the stone bridge" }];
const seen = {};

const whole = await client.messages.stream({ model: "tiny", max_tokens: 12, messages }).finalMessage();
seen.text = whole.content[0].text;
seen.counted = (await client.messages.countTokens({ model: "tiny", messages })).input_tokens;
seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);

const look = { name: "look", input_schema: { type: "object", properties: { at: { type: "string" } } } };
const ask = { model: "tools", max_tokens: 2048, tools: [look], thinking: { type: "enabled", budget_tokens: 1024 } };
const first = await client.messages.stream({ ...ask, messages }).finalMessage();
const calls = first.content.filter((block) => block.type === "tool_use");
seen.calls = calls.map((call) => call.input);
const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "seen" }));
const turns = [...messages, { role: "assistant", content: first.content }, { role: "user", content: results }];
const last = await client.messages.stream({ ...ask, messages: turns }).finalMessage();
seen.last = last.content.at(-1).text;

// The class of what is thrown, and what it says.
const thrown = async (params) => {
  try {
    await client.messages.stream(params).finalMessage();
    return "nothing";
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
};
const words = "the river and the stone bridge ".repeat(20_000);
seen.too_long = await thrown({ model: "tiny", max_tokens: 12, messages: [{ role: "user", content: words }] });
seen.broken = await thrown({ model: "broken-cut", max_tokens: 12, messages });
console.log(JSON.stringify(seen));
