"""dspy.Evaluate with a thread a call, its cache off."""

import dspy
from task import MODEL, SYSTEM, Clock, arguments, asked, finish


def exact(example: dspy.Example, prediction: dspy.Prediction, _trace: object = None) -> float:
    return float(str(prediction.answer).strip() == example.answer)


def main() -> None:
    given = arguments()
    model = dspy.LM(
        f"openai/{MODEL}", api_base=given.url, api_key="none", cache=False, temperature=0
    )
    dspy.configure(lm=model)
    program = dspy.Predict(dspy.Signature("question -> answer", SYSTEM))
    examples = [
        dspy.Example(question=question, answer=reference).with_inputs("question")
        for question, reference in asked(given.examples)
    ]
    evaluate = dspy.Evaluate(
        devset=examples,
        metric=exact,
        num_threads=given.concurrency,
        display_progress=False,
        display_table=False,
    )
    clock = Clock()
    outcome = evaluate(program)
    clock.stop()
    finish(
        given.examples,
        round(float(outcome.score) / 100 * given.examples),
        clock,
        "dspy",
        "openai",
    )


if __name__ == "__main__":
    main()
