// A turn with a tool and a second turn, by the AI SDK: `node talk.mjs <provider> <base URL> <model> <streamed>`.
// Prints one JSON object: what was said in each turn, the tool's calls, and the reasoning.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

const [, , provider, base, name, streamed] = process.argv;
const apiKey = "any";
const model =
  provider === "openai"
    ? createOpenAI({ baseURL: base, apiKey })(name)
    : createOpenResponses({ name: "ccproxy", url: `${base}/responses`, apiKey })(name);

const asked = [];
const weather = tool({
  description: "The weather of a town",
  inputSchema: z.object({ town: z.string() }),
  execute: async ({ town }) => {
    asked.push(town);
    return `Rain in ${town}`;
  },
});

const messages = [];

async function turn(text) {
  messages.push({ role: "user", content: text });
  const options = { model, messages, tools: { weather }, stopWhen: isStepCount(5), maxRetries: 0 };
  const result = streamed === "true" ? streamText(options) : await generateText(options);
  const said = await result.text;
  messages.push(...(await result.responseMessages));
  return { said, reasoning: await result.reasoningText, finish: await result.finishReason };
}

const turns = [await turn("Weather in Oslo?"), await turn("And what did I ask?")];
console.log(JSON.stringify({ turns, asked }));
