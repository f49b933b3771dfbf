"""The pytest plug-in of mallcore: fixtures only; everything heavy is imported when a fixture is first used."""
